"""Remove lines and paragraphs that many documents of a source contain (menus, licences, notices). They become edits."""
