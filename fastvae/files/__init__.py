"""Models as bytes: the package's own files, the seed's folders, and how anything is written."""
