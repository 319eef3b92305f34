"""A request in, a video out: the one function that every door calls, and all that it decides on the way."""
