"""Files of labelling tools, each as content in COCO's form: everything after that is shared (`edgepose.data.sound`)."""
