"""`python -m gadkit`, and with it `torchrun -m gadkit` and `accelerate launch -m gadkit`: the command line."""

from gadkit.cli.app import main

if __name__ == "__main__":
    main()
