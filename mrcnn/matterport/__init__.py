"""What only scripts for matterport's library want: its functions, layers and generator.

Nothing imports it but the public faces `mrcnn.model`, `mrcnn.utils` and `mrcnn.run`.
"""
