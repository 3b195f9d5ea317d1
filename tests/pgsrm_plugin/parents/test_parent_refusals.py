"""Openings that refuse, in many languages, and ordinary answers that begin alike."""

import doctest
import re

import pytest

from pgsrm_plugin.parents.review import refusals
from pgsrm_plugin.parents.review.refusals import OPENINGS, refusal

REFUSALS = """
I’m sorry, but I can’t help with that.
I must respectfully decline.
I must respectfully decline to write this.
Sorry, but as an AI I won't do that.
I'm not comfortable sharing that.
I'm sorry. I can't help you with that.
Lo siento, pero no puedo ayudarte con eso.
Lo siento mucho, pero no me es posible proporcionar esa información.
No puedo ayudarte con esa solicitud.
Como modelo de lenguaje, no puedo dar opiniones.
Es tut mir leid, aber dabei kann ich dir nicht helfen.
Es tut mir leid, aber ich kann Ihnen dabei nicht helfen.
Leider kann ich diese Frage nicht beantworten.
Entschuldigung, ich kann dir dabei nicht weiterhelfen.
Als KI-Sprachmodell kann ich dazu keine Angaben machen.
Je suis désolé, mais je ne peux pas vous aider avec cela.
Désolée, je ne peux pas répondre à cette question.
Je ne peux pas vous aider à faire cela.
Je suis désolé, mais je ne suis pas en mesure de répondre à cette demande.
Mi dispiace, ma non posso aiutarti con questo.
Mi spiace, non posso fornire queste informazioni.
Desculpe, mas não posso ajudar com isso.
Sinto muito, mas não posso fornecer essa informação.
Sinto muito, não posso te ajudar com isso.
Het spijt me, maar ik kan je daar niet bij helpen.
Przykro mi, ale nie mogę pomóc w tej sprawie.
Извините, но я не могу помочь с этим.
К сожалению, я не могу ответить на этот вопрос.
Я не могу вам помочь с этим запросом.
Üzgünüm, ancak bu konuda yardımcı olamam.
抱歉，我无法提供这方面的帮助。
对不起，我不能帮助您完成这个请求。
很抱歉，我不能回答这个问题。
我无法提供这方面的信息。
我无法提供相关内容。
作为一个人工智能语言模型，我无法讨论此话题。
你好，这个问题我暂时无法回答，让我们换个话题再聊聊吧。
申し訳ありませんが、そのご要望にはお応えできません。
申し訳ございませんが、お手伝いすることはできません。
すみませんが、その質問にはお答えできません。
そのリクエストには対応できません。
죄송하지만 그 요청은 도와드릴 수 없습니다.
죄송합니다. 해당 질문에는 답변할 수 없습니다.
죄송합니다만, 그런 내용은 제공할 수 없습니다.
عذراً، لا أستطيع مساعدتك في ذلك.
मुझे खेद है, लेकिन मैं इसमें आपकी सहायता नहीं कर सकता।
"""
ORDINARY = """
I can't recommend this film enough.
I cannot help laughing at it.
Sorry is a board game.
Unfortunately, the sky is not green.
As an AI researcher, I study refusals.
Lo siento, no puedo ir a la fiesta el viernes.
Lo siento es la forma habitual de disculparse.
No puedo creer lo bonito que es.
Lamentablemente, el cielo no es verde.
Como modelo de negocio, no tiene rival.
Leider ist der Himmel nicht grün.
Es tut mir leid heißt auf Englisch: I am sorry.
Leider kann der Zug nicht fahren, weil es schneit.
Als KI bezeichnet man Systeme, die lernen.
Entschuldigung, wo kann ich hier keine Fahrkarten kaufen?
Désolé est un adjectif.
Je ne peux pas vivre sans musique, dit-elle.
Malheureusement, il ne peut pas venir demain.
Mi piace molto il gelato, ma non posso mangiarlo.
Mi dispiace, non posso venire alla festa.
Purtroppo non c'è più pane.
Infelizmente, o céu não é verde.
Desculpe, não posso ir ao cinema hoje.
Não posso viver sem café.
К сожалению, небо не зелёное.
Извините, я не могу прийти завтра.
Я не могу жить без музыки.
抱歉是一种礼貌的说法。
对不起，我不能去参加聚会。
我无法忘记那个夏天。
我不能吃辣。
申し訳ありませんとは、謝るときに使う言葉です。
すみません、駅はどこですか。
残念ながら、空は緑ではありません。
죄송하지만 내일은 갈 수 없습니다.
죄송합니다는 사과하는 말입니다.
안타깝게도 하늘은 초록색이 아닙니다.
Sorry, ik ben te laat.
Niestety niebo nie jest zielone.
Üzgünüm, yarın gelemem.
عذراً هي كلمة اعتذار.
क्षमा करें, मैं कल नहीं आ सकता।
"""


@pytest.mark.parametrize("text", REFUSALS.split("\n")[1:-1])
def test_refusals(text):
    assert refusal(text)
    assert refusal(f"<think>Is this permitted?</think>\n\n{text}")
    assert not refusal(f"The bot said: {text}")


@pytest.mark.parametrize("text", ORDINARY.split("\n")[1:-1])
def test_what_only_begins_like_a_refusal(text):
    assert refusal(text) == ""


def test_each_language_has_refusals_that_only_its_own_opening_finds():
    def finds(language: str, text: str) -> bool:
        one = OPENINGS[language]
        pattern = rf"(?:{one.sorry})(?:{one.between})(?:{one.declines})|{one.alone}"
        return re.match(pattern, text.replace("\u2019", "'"), re.IGNORECASE) is not None

    found = {language: [text for text in REFUSALS.split("\n")[1:-1] if finds(language, text)] for language in OPENINGS}
    assert len(OPENINGS) >= 10
    assert [language for language, texts in found.items() if not texts] == []
    assert sum(map(len, found.values())) == len(REFUSALS.split("\n")[1:-1])


@pytest.mark.timeout(10)
@pytest.mark.parametrize("hostile", ["leider kann ich " * 10**4, "sorry " * 10**5, "对不起" * 10**5, "<think>" * 10**5])
def test_hostile_answers_end(hostile):
    refusal(hostile)


def test_examples():
    assert doctest.testmod(refusals).failed == 0
