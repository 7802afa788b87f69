"""What comes in and what goes out: images, videos, live sources, drawings, result files. No network anywhere."""
