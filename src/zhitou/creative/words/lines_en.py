"""English lines, written for this project. {slot}: a fact. [word]: one of WORDS, in the tone asked for where it has
one. <1>, <2>: a clause about the first and second fact to name. A line's own words state nothing about a product.
"""

from __future__ import annotations

LINES = {
    ("headline", "benefit"): (
        "[meet] {title} | {title}, [forday] | [forday]: {title} | {title}<with> | [meet] {title}<with>"
    ),
    ("headline", "attribute"): (
        "{title}, <1> | {title}: <1> | [meet] {title}, <1> | {title}, <1>, <2> | <1>: {title}"
    ),
    ("headline", "price"): (
        "{title}, {price} | {title} for {price} | {price} for {title} | [meet] {title} for {price} | "
        "{title}, now {price}, was {was} | {title}, {saving} off | {saving} off {title}"
    ),
    ("headline", "urgency"): (
        "{title}, until {ends} | [until] {ends}: {title} | {title}, {few} left | "
        "[meet] {title} until {ends}"
    ),
    ("headline", "social"): (
        "{title}, rated {rating} | Rated {rating}: {title} | [meet] {title}, rated {rating}"
    ),
    ("headline", "curiosity"): "[ask] {title}? | [look]: {title} | [look] at {title} | [meet] {title}",
    ("headline", "gift"): "{title}, [togive] | [togive]: {title} | [give] {title} | [meet] {title}, [togive]",
    ("subline", "benefit"): (
        "<1>, [forday] | <1> and [easy] | [forday], <1> | [easy], <1> | From {brand}, [forday] | "
        "{category}: [easy] | {category}, [forday] | {shipping} | {warranty} | <1>, <2>"
    ),
    ("subline", "attribute"): (
        "<1> | <1>, <2> | <1>, [easy] | [details]: <1> | [details]: <1>, <2> | <1>, [andmore]"
    ),
    ("subline", "price"): (
        "{price} | Now {price}, was {was} | {saving} off, now {price} | [pay] {price} | "
        "[pay] {price} instead of {was} | <1> for {price} | {price}, [pricedone] | [priceplain]: {price}"
    ),
    ("subline", "urgency"): (
        "Until {ends} | [until] {ends} | {few} left | [until] {ends}, <1> | <1>, until {ends}"
    ),
    ("subline", "social"): "Rated {rating} | Rated {rating}, <1> | [others]: {rating} | <1>, rated {rating}",
    ("subline", "curiosity"): (
        "[look], then <1> | [tryit], <1> | [look] at {title} | [wonder] {title} | [tryit] | [see] | "
        "[wonder] {title}, <1>"
    ),
    ("subline", "gift"): "[togive], <1> | [wrapped] | [togive] | <1>, [togive] | [wrapped]: <1>",
    ("push", "benefit"): (
        "{title}: <1> | {title}, [forday]. [go] | [hello] {title}, <1>. | [hello] {title}, [forday]. [go]"
    ),
    ("push", "attribute"): (
        "{title}: <1>, <2> | [hello] {title}, <1>. [go] | {title}, <1>. [go] | [details]: {title}, <1>"
    ),
    ("push", "price"): (
        "{title} for {price}. [go] | {title}: now {price}, was {was} | {title}, {saving} off. [go] | "
        "[hello] {title} for {price}."
    ),
    ("push", "urgency"): "{title}: until {ends} | [until] {ends}: {title}. [go] | {title}: {few} left",
    ("push", "social"): "{title}: rated {rating}. [go] | [others] {title}: {rating}",
    ("push", "curiosity"): "[ask] {title}? [go] | [look]: {title} | [wonder] {title}, <1>?",
    ("push", "gift"): "[togive]: {title} | {title}, [togive]. [go] | [give] {title}. [go]",
    ("subject", "benefit"): "{title}, [forday] | [forday]: {title} | [inside]: {title}, <1> | <1>: {title}",
    ("subject", "attribute"): "{title}: <1> | [inside]: {title}, <1> | <1>, <2>: {title} | [details] {title}",
    ("subject", "price"): (
        "{title} for {price} | {saving} off {title} | {title}: now {price}, was {was} | "
        "[priceplain]: {title} for {price}"
    ),
    ("subject", "urgency"): "{title}, until {ends} | [until] {ends}: {title} | {few} left: {title}",
    ("subject", "social"): "Rated {rating}: {title} | [others] {title}: {rating} | {title}, rated {rating}",
    ("subject", "curiosity"): "[ask] {title}? | [inside]: {title} | [look]: {title}, <1> | [wonder] {title}?",
    ("subject", "gift"): "[togive]: {title} | [give] {title} | {title}, [togive]",
    ("body", "benefit"): (
        "[hello] {title}<all>. [forday]. [close] | [hello] {title}, [forday]<all>. [close] | "
        "{title}<all>: [easy]. [close]"
    ),
    ("body", "attribute"): (
        "[hello] {title}<all>. [close] | {title}, in short<all>. [close] | [details]: {title}<all>. [close]"
    ),
    ("body", "price"): (
        "[hello] {title}<all>. [pay] {price}. [close] | {title}<all>. Now {price}, was {was}. [close] | "
        "{title}<all>. {saving} off: now {price}. [close]"
    ),
    ("body", "urgency"): "[until] {ends}: {title}<all>. [close] | {title}, {few} left<all>. [close]",
    ("body", "social"): (
        "{title}<all>, rated {rating}. [close] | [hello] {title}<all>. [others] {title}: {rating}. [close]"
    ),
    ("body", "curiosity"): (
        "[ask] {title}? [look]<all>. [close] | [look]: {title}<all>. [close] | "
        "[wonder] {title}? [details]<all>. [close]"
    ),
    ("body", "gift"): "[togive]: {title}<all>. [close] | [give] {title}<all>. [close]",
    ("button", "benefit"): "[see] | [buy]",
    ("button", "attribute"): "[see]",
    ("button", "price"): "[buy]",
    ("button", "urgency"): "[buy]",
    ("button", "social"): "[see]",
    ("button", "curiosity"): "[see]",
    ("button", "gift"): "[gift_button]",
}  # fmt: skip

CLAUSES = {
    "title": "{title}",
    "brand": "by {brand} | from {brand}",
    "category": "in {category} | from {category} | part of {category}",
    "size": "{size} | in {size} | at {size}",
    "material": (
        "in {material} | made with {material} | made of {material} | {material} throughout | "
        "with {material} | of {material}"
    ),
    "style": (
        "{style} in style | with {style} style | in {style} style | {style} at heart | "
        "with {style} character"
    ),
    "colour": "in {colour} | dressed in {colour} | all in {colour} | shown in {colour} | finished in {colour}",
    "pattern": (
        "with {pattern} | {pattern} on show | patterned with {pattern} | {pattern} to look at | "
        "with {pattern} as pattern"
    ),
    "fit": "{fit} fit | cut for {fit} fit | with {fit} fit | {fit} in fit",
    "flavour": "{flavour} flavour | with {flavour} flavour | tasting of {flavour} | {flavour} in taste",
    "scent": "{scent} scent | with {scent} scent | scented with {scent} | {scent} in scent",
    "feature": "{feature} | with {feature} | {feature} included | here with {feature}",
    "cut": "{cut} | cut as {cut} | {cut} in shape | shaped as {cut}",
    "detail": (
        "with {detail} | {detail} as detail | detailed with {detail} | {detail} to finish | "
        "finished with {detail}"
    ),
    "price": "for {price} | at {price} | {price}",
    "was": "was {was} | down from {was}",
    "saving": "{saving} off",
    "ends": "until {ends}",
    "few": "{few} left",
    "rating": "rated {rating}",
    "shipping": "{shipping}",
    "warranty": "{warranty}",
    "returns": "{returns}",
}  # fmt: skip

# word -> alternatives; "word.tone" where a tone has its own.
WORDS = {
    "meet": "Meet | Here is | Take a look at | See",
    "meet.warm": "Say hello to | Make room for | Come and see | Meet",
    "meet.bold": "Go for | Step up to | Choose | Reach for",
    "meet.playful": "Psst, meet | Guess what: | Oh hello, | Ta-da:",
    "meet.elegant": "Introducing | Presenting | Discover | A moment for",
    "meet.expert": "In detail: | Consider | On the bench: | A closer look at",
    "hello": "Here is | This is | Take a look at | Have a look at",
    "hello.warm": "Good to see you. This is | We picked this out: | Pull up a chair: | Say hello to",
    "hello.bold": "Straight to it: | No detours: | Here it comes: | Big entrance:",
    "hello.playful": "Knock knock, it is | Drum roll: | Look who it is: | Surprise,",
    "hello.elegant": "Allow us to present | May we introduce | Quietly presenting | With pleasure:",
    "hello.expert": "The facts on | In brief: | For the record: | The short version of",
    "forday": "for every day | for day to day | for the week ahead | for any day",
    "forday.warm": (
        "for slow mornings | for the people at home | for a day that is yours | for small happy moments"
    ),
    "forday.bold": "for days that count | for whatever comes | for going all in | for making a start",
    "forday.playful": (
        "for Mondays too | for fun and other serious things | for no reason at all | "
        "for the good mood drawer"
    ),
    "forday.elegant": (
        "for quiet occasions | for evenings and in between | for those who notice | for a measured day"
    ),
    "forday.expert": (
        "for regular use | for those who read labels | for a considered choice | for the way it is used"
    ),
    "easy": "easy to choose | simple as that | that is all it takes | ready when wanted",
    "easy.warm": "easy to like | a small joy | a good companion | something to look forward to",
    "easy.bold": "say yes | no second thoughts | pick it and go | one clear choice",
    "easy.playful": "hard to walk past | go on then | it winked first | a little bit tempting",
    "easy.elegant": "with quiet poise | in good taste | simply composed | chosen with care",
    "easy.expert": "on the facts | as specified | by the details | read it closely",
    "togive": "to give | as a gift | for someone in mind | as a present",
    "togive.warm": "for someone dear | to make someone smile | for a friend | with love",
    "togive.bold": "a gift with a point | to give and be thanked | the gift, sorted | give it outright",
    "togive.playful": (
        "for them, or for you | a gift, we will not tell | to unwrap and keep | "
        "birthday approved by birthdays"
    ),
    "togive.elegant": "a gift with grace | to give with care | for a fine occasion | a thoughtful present",
    "togive.expert": (
        "a considered gift | a gift by the details | to give with reason | a gift that was thought through"
    ),
    "give": "Give | Make it a gift: | Wrap up",
    "give.warm": "Make them smile with | Share | Give from the heart:",
    "give.bold": "Just give | Hand over | Win the gift table with",
    "give.playful": "Sneak them | Tie a bow on | Secretly buy them",
    "give.elegant": "Offer | Present them with | Give, with care,",
    "give.expert": "A reasoned gift: | On the gift list: | Give, on the facts,",
    "wrapped": "Something to unwrap | For the gift list | A gift idea | For the next occasion",
    "wrapped.bold": "The gift, decided | A gift that lands | Gift list, done",
    "wrapped.expert": "A gift with reasons | For a considered gift list | Gift idea, on the facts",
    "wrapped.playful": "Bows not shown | Paper, tape, done | Shh, it is a gift",
    "wrapped.warm": "For someone you think of | A kind surprise | To give with a hug",
    "wrapped.elegant": "For a fine table of gifts | A gift, well chosen | To be given with care",
    "ask": "Have you seen | Seen | Do you know | Looking for",
    "ask.bold": "Ready for | Up for | Have you tried",
    "ask.playful": "Guess who: | What is this, | Curious about",
    "ask.elegant": "May we show you | Have you noticed | A question of taste:",
    "ask.expert": "What is in | How is it made, | Have you compared",
    "look": "Take a look | Have a look | Look closer",
    "look.warm": "Come and look | Take a moment to look | Have a good look",
    "look.bold": "Look right here | Look now | Look again",
    "look.playful": "Take a peek | Go on, peek | Sneak a look",
    "look.elegant": "Take a closer glance | Look once more | Look twice",
    "look.expert": "Take a careful look | Look it over | Take a closer look",
    "wonder": "Did you know | What about | And why not | How about",
    "wonder.playful": "Fancy | Who said no to | What if it were",
    "wonder.warm": "How would you like | Shall we try | Perhaps",
    "wonder.bold": "Why not | How about | Dare to try",
    "wonder.elegant": "Perhaps | What of | Shall it be",
    "wonder.expert": "Worth a check: | Have you read up on | Compare:",
    "tryit": "Try it | Give it a go | Worth a look | Try something else",
    "until": "Until | Open until | Here until | The offer runs until",
    "until.bold": "Only until | Decide by | Up to",
    "until.warm": "With you until | There is time until | Here for you until",
    "until.expert": "Valid until | Offer ends | In force until",
    "others": "Shoppers say | Rating of | How it is rated,",
    "pay": "Pay | Yours for | Get it for | All it asks is",
    "pay.elegant": "Offered at | To be had at | Presented at",
    "pay.expert": "Price: | Offered at | Listed at",
    "pay.playful": "Trade it for | Swap it for | In coins,",
    "priceplain": "The price | Price today by the feed | What it is | In plain numbers",
    "priceplain.bold": "The number | One price | Straight up",
    "priceplain.warm": "A friendly number | Good to know | For your purse",
    "priceplain.playful": "Drum roll, the price | Psst, the price | The tag says",
    "priceplain.elegant": "The price, quietly | The figure | The sum",
    "priceplain.expert": "Current price | Listed price | By the numbers",
    "pricedone": "simple as that | and that is it | nothing hidden here | plain to see",
    "details": "In short | The details | What it is | At a glance",
    "details.warm": "A little about it | Made to be seen | What we like to point out",
    "details.bold": "The facts | Here is why | Point by point",
    "details.playful": "Fun facts | Spoiler | Read all about it",
    "details.elegant": "Of note | In the details | A few words",
    "details.expert": "Specification | Key facts | On paper",
    "andmore": "and more inside | see the rest | that is the start | take a look",
    "inside": "Inside | For you to see | In this mail | New in your inbox",
    "inside.playful": "Do not open, or do | Open me | Tiny drum roll",
    "inside.warm": "A small hello | Picked for your day | From us",
    "inside.bold": "Open this | Worth opening | Here we go",
    "inside.elegant": "A quiet note | With compliments | An introduction",
    "inside.expert": "Summary | The facts | A short read",
    "close": (
        "Take a look when it suits. | See it in the shop. | All details are on the page. | "
        "The page has the rest."
    ),
    "close.warm": (
        "Come by when you like. | We would be happy to show it. | Take your time. | It will be right here."
    ),
    "close.bold": "Go and see it. | Make the call. | Your move. | See it now.",
    "close.playful": (
        "Go on, peek. | We will look away while you click. | Resistance is optional. | Curiosity wins."
    ),
    "close.elegant": (
        "At your leisure. | Please look closer. | See it in good light. | Quietly yours to consider."
    ),
    "close.expert": (
        "Compare it at leisure. | The page lists every detail. | Check it against your list. | "
        "Read the facts on the page."
    ),
    "go": "Take a look | See it here | See details | Have a look",
    "go.bold": "Go see it | Tap and go | See it now",
    "go.playful": "Go on, tap | Peek? | Tap tap",
    "go.warm": "Come and see | Stop by | Say hello",
    "go.elegant": "Look closer | Discover it | Please, look",
    "go.expert": "Read more | See the facts | Compare it",
    "see": "See details | View product | Take a look | Look closer | See it here",
    "see.warm": "Come and see | Have a look | Say hello",
    "see.bold": "See it now | Show me | Let us go",
    "see.playful": "Peek inside | Ooh, show me | Go on",
    "see.elegant": "Discover | Look closer | View it",
    "see.expert": "Read the facts | Compare | View details",
    "buy": "Shop now | Go to shop | Shop this | To the offer",
    "buy.bold": "Get it | Grab it | Go for it",
    "buy.warm": "Bring it home | Make it yours | Shop with us",
    "buy.playful": "Into the basket | Yes please | Mine, please",
    "buy.elegant": "Acquire it | Choose yours | Shop the piece",
    "buy.expert": "Order it | Check the price | Shop by facts",
    "gift_button": "Give it | Find a gift | See the gift | Choose a gift | Make it a gift",
}  # fmt: skip
