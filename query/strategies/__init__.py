"""The paper's query strategies beside exact search."""
