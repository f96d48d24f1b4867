"""What several rooms need: errors, safe writing, onnxruntime sessions, optional packages. Imports no other room."""
