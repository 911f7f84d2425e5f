"""Complete spatial randomness: fields in which molecules lie by chance, and how an image differs from them."""
