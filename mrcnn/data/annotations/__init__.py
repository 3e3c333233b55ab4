"""What annotations of all formats have in common: pictures and instances in one form, outlines and
label images, the files that hold them, and `AnnotatedDataset`, which draws them as masks."""
