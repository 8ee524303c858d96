"""The sphere toy: SGD with batch size 1 in three dimensions, all learning rates in one program."""
