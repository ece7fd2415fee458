"""Image Search as the sandbox serves it: batch tasks, their judging, reports, and the gallery."""
