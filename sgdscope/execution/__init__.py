"""Who carries out a study's runs, and where."""
