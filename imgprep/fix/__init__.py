"""Fix: service-ready copies of images, and their log."""
