"""How scenes are read from files and written: JSON, scripts, subtitles, RTTM; the one door is `registry`."""
