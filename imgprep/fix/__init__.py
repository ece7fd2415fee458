"""Fix: service-ready copies of images with a log, and fixes for catalogue fields."""
