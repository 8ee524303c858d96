"""The paper's claims, shown with numbers: what is trained for them, at which scale."""
