"""`python -m efficientnet_tf ...` is `python main.py ...`."""

import sys

from efficientnet_tf.commands import command_line

if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv))
