"""What happens when `mrcnn` is imported, and around later imports of others, which it awaits.

Old paths of modules, Keras's registry of saved models, an imgaug that works, silence.
"""
