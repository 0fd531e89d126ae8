"""SCI, the paper's own model: extraction on the camera, a feature codec, analysis in the cloud."""
