"""What runs inside a sandbox or an image: stdlib only, no import of upcall."""
