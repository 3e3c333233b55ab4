"""`python -m mrcnn.run script.py`: see `mrcnn.matterport.run`."""

from mrcnn.matterport.run import main

if __name__ == "__main__":
    main()
