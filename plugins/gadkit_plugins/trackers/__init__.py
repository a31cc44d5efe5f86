"""What shows a run elsewhere: a table, TensorBoard, Weights & Biases."""
