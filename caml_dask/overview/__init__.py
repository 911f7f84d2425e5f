"""The picture of an image: kernels that turn localizations and outlines into a PNG."""
