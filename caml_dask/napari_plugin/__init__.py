"""Results looked at in napari, which is imported when something is opened; `napari.yaml` is the plugin's manifest."""
