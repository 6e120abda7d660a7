"""First code of a worker process, started as `python -I -S main.py CONFIG`. See `supervisor` for
CONFIG."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from inside.supervisor import main  # type: ignore[import-not-found]

if __name__ == "__main__":
    main(sys.argv[1])
