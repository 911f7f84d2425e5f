"""Pictures of images: kernels that turn localizations and outlines into PNG files."""
