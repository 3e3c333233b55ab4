"""Pages and folders of pictures for people: what data, a run or a model are like, to look at."""
