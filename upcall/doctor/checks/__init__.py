"""What is looked for. A check is a function of facts alone: it reads nothing, and is tested with facts of a broken host."""
