"""The letter that a response settles on: sentences as models and people write them, each with the letter by eye."""

import pytest

from pgsrm_plugin.text.choice import find_choice

FIVE, TEN = "ABCDE", "ABCDEFGHIJ"

SENTENCES = [
    # alone
    ("B", FIVE, "B"),
    ("b", FIVE, "B"),
    ("(b).", FIVE, "B"),
    ("b)", FIVE, "B"),
    ("[C]", FIVE, "C"),
    ("**D**", FIVE, "D"),
    ("Ｂ", FIVE, "B"),
    ("（Ｃ）", FIVE, "C"),
    ("Option E", FIVE, "E"),
    ("\\boxed{B}", FIVE, "B"),
    ("$\\boxed{\\text{(D)}}$", FIVE, "D"),
    ("I", TEN, "I"),
    ("(I)", TEN, "I"),
    ("I.", TEN, "I"),
    ("J", TEN, "J"),
    ("F", FIVE, None),
    ("", FIVE, None),
    # a clause that gives the answer
    ("Answer: C", FIVE, "C"),
    ("answer: b", FIVE, "B"),
    ("the answer is b", FIVE, "B"),
    ("The answer is (B).", FIVE, "B"),
    ("The answer is B (vitamin C).", FIVE, "B"),
    ("The best answer is D: hepatitis B", FIVE, "D"),
    ("The correct answer is B) C-reactive protein", FIVE, "B"),
    ("The answer is (B) Paris, capital of A-land", FIVE, "B"),
    ("Final Answer: (B)\n\nReasoning: (A) ignores friction", FIVE, "B"),
    ("**Answer:** B\n- A: no\n- C: no", FIVE, "B"),
    ("Answer: C\nExplanation: A and B are too small.", FIVE, "C"),
    ("The answer is C.\nA is too small.", FIVE, "C"),
    ("The answer is: $\\boxed{E}$", FIVE, "E"),
    ("Hence \\boxed{C} is what we want, unlike A or B.", FIVE, "C"),
    ("Therefore, the correct choice is option D.", FIVE, "D"),
    ("So my final answer would be A.", FIVE, "A"),
    ("The answer is A because it floats.", FIVE, "A"),
    ("Answer = E", FIVE, "E"),
    ("ANSWER: d", FIVE, "D"),
    ("Correct answer: A. Because B is a gas.", FIVE, "A"),
    ("#### B", FIVE, "B"),
    ("A patient like this needs rest. The answer is (B).", FIVE, "B"),
    ("The answer is a hard one: B", FIVE, "B"),
    ("The answer cannot be A, so it must be C", FIVE, "C"),
    ("The answer is not A but C.", FIVE, "C"),
    ("The answer isn't B. The answer is D.", FIVE, "D"),
    ("The answer is neither A nor B, but D", FIVE, "D"),
    ("The answer is G.", TEN, "G"),
    ("I would say the answer is J, as I showed above.", TEN, "J"),
    ("I think the answer is I.", TEN, "I"),
    ("<explanation>The answer cannot be A, it melts.</explanation><answer>B</answer>", FIVE, "B"),
    ("<answer>\nC\n</answer>", FIVE, "C"),
    ("Let us see. Answer A is wrong. The answer is B.", FIVE, "B"),
    ("Step 1: force. Step 2: mass.\nAnswer: (D) 9.8 m/s^2", FIVE, "D"),
    ("The answer is B, which stands for boron.", FIVE, "B"),
    ("My answer: c)", FIVE, "C"),
    ("The solution is choice C.", FIVE, "C"),
    # other languages
    ("答案是B。", FIVE, "B"),
    ("答案：B", FIVE, "B"),
    ("选B", FIVE, "B"),
    ("故选C。", FIVE, "C"),
    ("正确答案为 B", FIVE, "B"),
    ("正确答案是B", FIVE, "B"),
    ("因为A不对，答案是B。", FIVE, "B"),
    ("本题应选D，因为A和C都太小。", FIVE, "D"),
    ("答えはCです", FIVE, "C"),
    ("正解はAです。", FIVE, "A"),
    ("정답은 D입니다", FIVE, "D"),
    ("답: B", FIVE, "B"),
    ("La respuesta correcta es la B.", FIVE, "B"),
    ("La réponse est C, car A est fausse.", FIVE, "C"),
    ("Die Antwort ist B.", FIVE, "B"),
    ("La risposta corretta è (D).", FIVE, "D"),
    ("A resposta correta é B.", FIVE, "B"),
    ("Правильный ответ: B", FIVE, "B"),
    ("الجواب: C", FIVE, "C"),
    ("सही उत्तर B है", FIVE, "B"),
    ("Đáp án: D", FIVE, "D"),
    ("Jawaban yang benar adalah C.", FIVE, "C"),
    # a line of its own, and the head of a line
    ("B. Because A is too small", FIVE, "B"),
    ("B\n\nA is too small", FIVE, "B"),
    ("We compare them all.\n\nB", FIVE, "B"),
    ("Both masses fall alike.\n(C)", FIVE, "C"),
    ("A and C are gases.\n(B)", FIVE, "B"),
    ("B. Iron, as C and D are gases", FIVE, "B"),
    ("C) The mitochondrion", FIVE, "C"),
    ("(D) 42", FIVE, "D"),
    ("A. Paris", FIVE, "A"),
    ("D: All of the above", FIVE, "D"),
    # mentioned in a sentence
    ("I think C", FIVE, "C"),
    ("I'd pick B", TEN, "B"),
    ("I believe it is B.", TEN, "B"),
    ("I think (B) is right", TEN, "B"),
    ("I am going with E here.", TEN, "E"),
    ("B is correct.", FIVE, "B"),
    ("A is correct.", FIVE, "A"),
    ("Option A seems correct", FIVE, "A"),
    ("Option B is right, C's wrong", FIVE, "B"),
    ("It must be D.", FIVE, "D"),
    ("Clearly B, since a stone sinks.", FIVE, "B"),
    ("A stone sinks, so C.", FIVE, "C"),
    ("It's not A; it's D.", FIVE, "D"),
    ("Not A. B fits", FIVE, "B"),
    ("Vitamin C-rich food and B12 are no choices; E is", FIVE, "E"),
    # open, or nothing at all
    ("A B C D E", FIVE, None),
    ("It is (B) or (C)", FIVE, None),
    ("The answer is A. The answer is B.", FIVE, None),
    ("The answer is A or B.", FIVE, None),
    ("answer: A, B, C, D", FIVE, None),
    ("Answer: A/B", FIVE, None),
    ("A and B", FIVE, None),
    ("A. Paris\nB. London\nC. Rome", FIVE, None),
    ("(A) (B) (C)", FIVE, None),
    ("The answer is a matter of taste.", FIVE, None),
    ("A lot of people think so", FIVE, None),
    ("none of them", FIVE, None),
    ("I do not know.", TEN, None),
    ("I think I am lost", TEN, None),
    ("Answer:", FIVE, None),
    ("Better ask a doctor.", FIVE, None),
    ("The answer is not A.", FIVE, None),
    ("答案是A或B。", FIVE, None),
]


@pytest.mark.parametrize(("text", "choices", "letter"), SENTENCES)
def test_the_letter_of_a_sentence(text, choices, letter):
    assert find_choice(text, choices) == letter


def test_every_letter_of_ten_is_found_in_every_form():
    forms = [
        "{}",
        "({})",
        "{}.",
        "Answer: {}",
        "The answer is ({}).",
        "答案是{}。",
        "\\boxed{{{}}}",
        "so\n{}",
        "Option {}",
    ]
    assert {(form, letter): find_choice(form.format(letter), TEN) for form in forms for letter in TEN} == {
        (form, letter): letter for form in forms for letter in TEN
    }


def test_listing_the_letters_never_pays():
    forms = [
        ", ".join,
        " or ".join,
        " ".join,
        "\n".join,
        lambda all_of: ". ".join(f"The answer is {one}" for one in all_of),
    ]
    assert [find_choice(form(FIVE), FIVE) for form in forms] == [None] * 5
