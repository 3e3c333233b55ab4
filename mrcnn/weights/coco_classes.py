"""Names of COCO's classes."""

# torchvision's 91 classes are COCO's own ids, of which ten were never used.
_COCO_IDS = (
    "BG,person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,"
    "N/A,stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,"
    "N/A,backpack,umbrella,N/A,N/A,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,"
    "baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,N/A,wine glass,cup,"
    "fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,"
    "chair,couch,potted plant,bed,N/A,dining table,N/A,N/A,toilet,N/A,tv,laptop,mouse,remote,"
    "keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,N/A,book,clock,vase,scissors,"
    "teddy bear,hair drier,toothbrush"
)
COCO_ID_CLASSES = tuple(_COCO_IDS.split(","))
# matterport and detectron2 number the 80 used ones without gaps.
COCO_CLASSES = tuple(name for name in COCO_ID_CLASSES if name != "N/A")
# Of the models of keypoints.
PERSON = ("BG", "person")

# Of panoptic COCO: the 53 kinds of stuff, in the order of their ids.
_COCO_STUFF = (
    "banner,blanket,bridge,cardboard,counter,curtain,door-stuff,floor-wood,flower,fruit,gravel,"
    "house,light,mirror-stuff,net,pillow,platform,playingfield,railroad,river,road,roof,sand,sea,"
    "shelf,snow,stairs,tent,towel,wall-brick,wall-stone,wall-tile,wall-wood,water-other,"
    "window-blind,window-other,tree-merged,fence-merged,ceiling-merged,sky-other-merged,"
    "cabinet-merged,table-merged,floor-other-merged,pavement-merged,mountain-merged,grass-merged,"
    "dirt-merged,paper-merged,food-other-merged,building-other-merged,rock-merged,"
    "wall-other-merged,rug-merged"
)
COCO_STUFF_CLASSES = tuple(_COCO_STUFF.split(","))
