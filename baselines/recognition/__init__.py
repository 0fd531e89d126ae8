"""Recognition of moving objects: the classifier, and the representations that the paper's Table VI compares."""
