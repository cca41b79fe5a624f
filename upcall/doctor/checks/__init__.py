"""What is looked for. A check is a function of facts alone: it reads nothing; tests give it facts of a broken host."""
