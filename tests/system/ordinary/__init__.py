"""What holds for an ordinary user, too: by root, tests are run again as one."""
