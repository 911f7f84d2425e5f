"""What a run shows people: pictures of images, and the report of a cohort."""
