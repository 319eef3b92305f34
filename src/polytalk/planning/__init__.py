"""What a video takes: memory, time and the settings with which it fits a device, before anything is loaded."""
