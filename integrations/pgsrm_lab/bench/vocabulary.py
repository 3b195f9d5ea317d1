"""Common English words for the benchmark's texts, written for it."""

NOUNS = """
answer area army artist author bank basin beach bird blood board boat body book border branch bread bridge brother
building business cabin camera capital captain car case cell century chain chamber change channel chapter child church
circle citizen city claim class climate clock cloud coast code college colour column company computer country court
cover crop crowd culture current curve customer danger daughter day debate decision degree desert design detail device
dinner disease distance doctor door driver earth economy edge effect election energy engine equation error estate event
evidence example exchange family farm father field figure film fire fish flight flood floor flower food force forest
form friend fuel function garden gate glass goal gold government grain ground group growth guard guest habit hall hand
harbour harvest health heart heat hill history home horse hospital hotel hour house idea image impact income industry
insect island issue journey judge key king kitchen label labour lake land language law leader leaf lesson letter level
library life light limit line list machine map market material matrix matter meal measure medicine member memory message
metal method middle mile mind mine minister mirror model moment money month moon morning mother motion mountain mouth
museum music name nation nature network night noise north number object ocean office officer oil opinion orbit order
""".split()  # noqa: SIM905

VERBS = """
accepts adds admits allows answers appears argues avoids becomes begins believes breaks brings builds buys calls carries
changes checks chooses claims closes collects compares connects considers contains continues controls covers creates
crosses cuts defends demands denies depends describes develops discovers divides draws drives drops enters explains
fails feeds feels fills finds finishes follows forms gathers gives governs grows guides handles helps hides holds
improves includes increases joins keeps knows leads learns leaves lifts limits links loses makes marks measures meets
misses moves needs notes offers opens orders passes pays plans plays points prevents produces promises protects proves
pulls pushes raises reaches reads receives records reduces refuses remains removes repeats replaces reports requires
rests returns reveals rises rules runs saves sees sells sends serves shapes shares shows solves sounds spends spreads
stands starts stays stops studies suggests supplies supports takes tells tests treats turns uses visits waits wants
""".split()  # noqa: SIM905

ADJECTIVES = """
able active ancient basic bitter blue brave brief bright broad broken busy calm careful central certain cheap clean
clear close cold common complex constant cool correct dark deep dense direct distant double dry early eastern easy
empty entire equal exact familiar famous fast final fine firm flat foreign formal fresh full general gentle golden
good grand great green grey hard heavy hidden high hollow human important inner large late left light likely local
long loose loud low main major modern moral narrow native natural new normal northern old open ordinary outer pale
past perfect plain poor popular possible private proper public pure quick quiet rapid rare real recent red regular
rich rough round royal safe secret separate serious several sharp short silent simple single slow small smooth social
soft solid southern special stable steady strange strong sudden sweet tall thick thin tiny usual vast warm weak wet
white whole wide wild wise wooden wrong yellow young
""".split()  # noqa: SIM905

LINKS = """
because while although after before until since when where whereas unless so
""".split()  # noqa: SIM905

OPENINGS = """
first then next however therefore finally meanwhile indeed instead otherwise still perhaps
""".split()  # noqa: SIM905
