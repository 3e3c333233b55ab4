"""Pages and folders of pictures for people."""
