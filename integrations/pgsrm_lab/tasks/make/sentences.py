"""The frames and words of the two sentence tasks. Written for this project."""

from __future__ import annotations

COPY_FRAMES = (
    "{Animals} {move} {how}.",
    "{Name} {does}.",
    "The {thing} is {state}.",
    "{Name} likes {taste} {food}.",
    "My {kin} {moved} {how}.",
    "The {size} {animal} {moved} {how}.",
    "{Name} washed the {size} {thing}.",
    "My {kin} {does} {when}.",
    "The {animal} sat under the {furniture}.",
    "My {kin} left the {size} {thing} outside.",
    "{Name} put the {thing} on the {furniture}.",
)
COPY_SLOTS = {
    "Animals": "Dogs Cats Horses Birds",
    "Name": "Anna Tom Maria Peter",
    "animal": "dog cat horse bird",
    "kin": "mother father sister brother",
    "move": "wait sleep play rest",
    "moved": "waited slept played rested",
    "how": "quietly outside alone happily",
    "does": "reads_books drinks_tea bakes_bread plays_chess paints_houses grows_flowers",
    "when": "today tonight",
    "thing": "cup plate hat box bag",
    "state": "clean dirty broken empty",
    "taste": "hot cold fresh sweet",
    "size": "big small old new",
    "food": "bread soup milk tea",
    "furniture": "table chair bed",
}
COPY_TRAIN = {3: 25, 4: 40, 5: 25, 6: 5, 7: 5}
COPY_HELD_OUT = {3: 6, 4: 10, 5: 6, 6: 2, 7: 1}

INVERT_FRAMES = (
    "The {event} was {judged}.",
    "My {kin} felt {mood}.",
    "The {person} is very {trait}.",
    "I {love} this {judged} {work}.",
    "The {event} was {judged} {time}.",
    "My {kin} felt {mood} all day.",
    "The {trait} {person} {greeted} at us.",
    "The {people} {reacted} all the way home.",
    "My {kin} brought us some {judged} news.",
    "The {trait} {person} made us feel {mood}.",
    "We {love} our {light} {place} in spring.",
    "We {love} the {light} {place} by the river.",
    "Our team {won} the {match} and {reacted}.",
    "The {place} looked {light} and {air} {time}.",
    "Your {trait} letter made my {kin} feel {mood}.",
)
INVERT_SLOTS = {
    "event": "party concert dinner holiday",
    "judged": "wonderful|terrible lovely|horrible great|awful exciting|boring",
    "kin": "mother father sister brother",
    "mood": "happy|sad cheerful|gloomy proud|ashamed hopeful|hopeless",
    "person": "teacher doctor nurse neighbor",
    "trait": "kind|cruel gentle|harsh friendly|hostile generous|selfish",
    "love": "love|hate enjoy|dislike",
    "work": "song book movie game",
    "time": "this_morning last_night",
    "greeted": "smiled|frowned waved|shouted",
    "people": "children students fans",
    "reacted": "laughed|cried cheered|wept",
    "light": "bright|dark clean|dirty",
    "air": "warm|cold peaceful|dangerous",
    "place": "garden house room",
    "won": "won|lost",
    "match": "game match final",
}
INVERT_TRAIN = {4: 8, 5: 18, 6: 29, 7: 28, 8: 18}
INVERT_HELD_OUT = {4: 2, 5: 5, 6: 7, 7: 7, 8: 4}
