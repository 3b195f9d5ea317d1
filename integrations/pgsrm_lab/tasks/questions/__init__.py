"""Multiple-choice questions with experts' explanations: our own set, files of one's own, and public sets."""
