"""Sentences for the synthesisers to speak: templates over word lists, varied, short, rich in sounds."""

from __future__ import annotations

import re

import numpy as np

_WORDS = {
    "who": "my sister|the baker|our old teacher|that young man|everybody|nobody|Bob|Emma|Peter|Mary|the doctor|"
    "a friend of mine|my brother Tom|the woman next door|a boy from the village|Grandpa|Barbara|"
    "the bus driver|Oliver|Phoebe|the new manager|someone|the children|those people|my wife's cousin|"
    "the pilot|Victoria|a big brown bear|the mayor|Ivy",
    "did": "bought|found|forgot|painted|brought|carried|opened|dropped|borrowed|sold|watched|fixed|made|moved|"
    "hid|washed|loved|picked up|paid for|threw away|cooked|wrapped|asked about|broke|kept|remembered|"
    "wanted|peeled|measured|polished",
    "what": "a blue umbrella|the wooden boat|five pumpkins|a map of Poland|the heavy box|some warm bread|"
    "her favourite book|a bowl of soup|the broken lamp|two big apples|my bicycle|a purple shirt|"
    "the front door|that funny picture|his phone|a bag of potatoes|an orange balloon|the whole apartment|"
    "a cup of coffee|the old piano|a pair of boots|some mushrooms|the very last piece of cake|"
    "a yellow raincoat|ten thousand pebbles|an hourglass|the measuring tape|a jar of honey",
    "where": "in the park|behind the house|at the harbour|on the bridge|near the market|under the table|"
    "by the window|at home|in Amsterdam|on the moon|in front of the bank|at the corner shop|by the sea|"
    "up in the mountains|over there|in a small boat|at the bus stop|outside|on the roof|"
    "between the walls|in the middle of nowhere",
    "when": "yesterday|this morning|last week|on Monday|at five o'clock|every evening|before lunch|"
    "after the movie|in February|two years ago|all the time|once a month|tomorrow|just now|"
    "on the fourth of July|before the storm|at half past ten",
    "how": "wonderful|awful|pretty good|beautiful|very strange|simple|enormous|quite boring|amazing|too small|"
    "perfectly fine|a bit cold|honestly impossible|warm and soft|bumpy|absolutely marvellous|"
    "rather expensive|foggy|smooth|above average",
    "verb": "swim|cook|sing a song|move house|play the violin|walk the dog|bake a pie|fly to Peru|"
    "open the window|wait for you|read the paper|go fishing|build a wall|buy more milk|help my mother|"
    "leave early|watch the game|have some breakfast|explain it again|feed the birds|"
    "put the vase up there|hear both of them|shout at me|do it by myself",
    "thing": "weather|music|food|idea|movie|problem|answer|view|price|voice|weekend|traffic|party|method|family|"
    "purpose|book|job",
    "react": "Oh|Well|Hmm|Wow|Ah|You know|I mean|Actually|By the way|Maybe|Of course|Believe me|Sure|Look|"
    "Honestly|Oh boy|Yes but",
    "name": "Bob|Emma|Peter|Mary|Tom|Barbara|Paul|Olivia|Ben|Phoebe|Hugo|Maya|Victor|Wanda|Zoe|Chip|Joe|Ursula|"
    "Ahmed|Mimi",
}
_TEMPLATES = (
    "{who} {did} {what} {where}.", "{who} {did} {what} {when}.", "{react}, {who} {did} {what}.",
    "Did {who} {verb} {when}?", "I would love to {verb} {where}.", "The {thing} was {how}, {when}.",
    "{react}, the {thing} is {how}!", "What do you think about the {thing}?", "Have you ever seen {what} {where}?",
    "We should {verb} {when}.", "{name}, please {verb}.", "I saw {who} {where} {when}.", "Why did {who} {verb}?",
    "How about {what} and {what}?", "{react}, I don't know.", "My {thing} was {how}, and yours?",
    "If {who} can {verb}, so can we.", "{name} and {name} want to {verb}.", "It is {how} {where}, isn't it?",
    "{who} told me that {who} {did} {what}.", "Could you {verb} for me, {name}?",
    "Nobody {did} {what}, but {who} was {how}.", "Give me {what}, and I will {verb}.", "{react}, {name}!",
    "That's {how}.", "I'm {how}, thanks.", "You and {who} are always {how} {where}.",
    "Both of us {did} {what}, {react}, {when}.",
)  # fmt: skip
_SHORT_TEXTS = (
    "Yes.|No.|Maybe.|Okay.|Hello!|Good morning.|How are you?|Really?|Bye bye!|Thank you very much.|"
    "Wait a moment.|Oh no!|Wow!|I agree.|Me too.|Not at all.|Of course.|Who, me?|What?|Why not?|Amazing!|"
    "Sorry about that.|I hope so.|Absolutely.|Come on!|Stop it.|Mama mia!|Boom!|Never mind.|"
    "See you tomorrow.|Ha ha ha!|You are welcome.|My goodness.|Just about.|Fair enough."
)


_FOREIGN = {
    "de": "der|ein|Baum|Vogel|Mutter|geht|über|schöne|Brücke|heute|morgen|ich|habe|möchte|Apfel|blau|und|immer|"
    "fünf|Bücher|wo|wohnen|bitte|mein|Bruder|spielt|Fußball|im|Park|wunderbar|kaufen|Milch|Abend|warum|"
    "viele|Menschen|oben",
    "fr": "bonjour|le|un|petit|bateau|ma|mère|vous|voulez|boire|du|vin|beaucoup|jamais|maison|bleue|pomme|il|"
    "fait|beau|aujourd'hui|nous|avons|peur|et|toujours|chapeau|soupe|pourquoi|amie|belle|voiture|rouge|"
    "oui|mais",
    "es": "buenos|días|mi|madre|tiene|una|casa|blanca|el|perro|come|manzanas|mañana|vamos|por|favor|mucho|agua|"
    "hombre|bueno|y|pueblo|amigo|siempre|verde|bonita|porque|nueve|libros|abuela|bebe|vino",
    "it": "buongiorno|la|mamma|mia|bella|casa|il|pane|buono|domani|vado|al|mare|con|amico|bambino|piove|oggi|"
    "molto|bene|e|sempre|uova|nuovo|libro|rosso|perché|pomodoro|acqua|grazie|qui",
    "pt": "bom|dia|minha|mãe|tem|uma|casa|branca|o|pão|amanhã|vamos|por|favor|muito|obrigado|não|água|homem|"
    "bonito|e|livro|novo|irmão|verde|chuva|porque|boa|noite|pouco",
    "nl": "goede|morgen|mijn|moeder|heeft|een|blauw|huis|boot|brug|de|bloemen|mooi|vandaag|wij|lopen|door|het|"
    "park|veel|appels|en|waarom|buiten|vogel|brood|kopen|graag|vijf|boeken",
    "pl": "dzień|dobry|moja|mama|ma|mały|dom|biały|pies|je|jabłka|jutro|proszę|bardzo|woda|dużo|nowy|i|zawsze|"
    "książka|dobra|pogoda|wiem|gdzie|babcia|kupuje|chleb|szybko|wieczór",
    "ja": "こんにちは|わたし|は|おかあさん|と|まいにち|ばんごはん|を|たべます|ほん|やま|うみ|えき|で|ともだち|"
    "に|あいました|おはよう|とても|うつくしい|ぼうし|みず|へ|いきます|ふゆ|ありがとう|ひとつ|ください|"
    "ねこ|も|います",
    "tr": "merhaba|annem|beyaz|bir|ev|var|köpek|elma|yiyor|yarın|lütfen|çok|su|güzel|kitap|ve|her|zaman|büyük|"
    "yumurta|nerede|bugün|hava|mavi|ben|öğretmen|şimdi|uyumak",
    "fi": "hyvää|päivää|minun|äiti|pieni|talo|valkoinen|koira|syö|omena|huomenna|ole|hyvä|paljon|vettä|kaunis|"
    "kirja|ja|aina|uusi|yö|poika|puu|missä|mummo|leipä|pöytä",
    "sv": "god|morgon|min|mamma|har|ett|vitt|hus|hunden|äter|äpplen|imorgon|mycket|vatten|vacker|bok|och|"
    "alltid|ny|båt|över|bron|varför|fem|böcker|sju|sjösjuka|många|gubbe",
    "id": "selamat|pagi|ibu|saya|punya|rumah|putih|anjing|makan|apel|besok|tolong|banyak|air|bagus|buku|dan|"
    "selalu|baru|perahu|kenapa|lima|pergi|ke|pasar|bapak|membeli|roti",
}
LANGUAGES = ("en", *_FOREIGN)
_SHORT = tuple(_SHORT_TEXTS.split("|"))
_LISTS = {key: tuple(words.split("|")) for key, words in _WORDS.items()}
_FOREIGN_LISTS = {key: tuple(words.split("|")) for key, words in _FOREIGN.items()}


def draw_text(rng: np.random.Generator, language: str = "en") -> str:
    """One or two conversational sentences (English), or a row of common words in another of `LANGUAGES`."""
    if language != "en":
        words = [str(word) for word in rng.choice(_FOREIGN_LISTS[language], size=int(rng.integers(3, 10)))]
        if len(words) > 5 and rng.random() < 0.4:
            words[3] += ","
        return ("" if language == "ja" else " ").join(words) + str(rng.choice([".", "?", "!"]))
    if rng.random() < 0.12:
        return str(rng.choice(_SHORT))
    sentences = [_sentence(rng) for _ in range(1 + (rng.random() < 0.25))]
    if rng.random() < 0.12:
        sentences.insert(int(rng.integers(0, 2)), str(rng.choice(_SHORT)))
    return " ".join(sentences)


def _sentence(rng: np.random.Generator) -> str:
    template = _TEMPLATES[int(rng.integers(len(_TEMPLATES)))]
    text = re.sub(r"\{(\w+)\}", lambda match: str(rng.choice(_LISTS[match[1]])), template)
    return text[0].upper() + text[1:]
