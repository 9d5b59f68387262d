"""`python -m efficientnet_tf ...` is `python main.py ...`."""

import sys

from efficientnet_tf.commands import cli

if __name__ == "__main__":
    sys.exit(cli.main(sys.argv))
