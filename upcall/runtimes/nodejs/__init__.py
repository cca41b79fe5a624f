"""What runs inside a sandbox for Node.js actions: `main.cjs` and its parts, and how a confined process becomes it."""
