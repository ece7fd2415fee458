"""The sandbox's Image Search: batch tasks, checks of their lines and images, reports, and the gallery."""
