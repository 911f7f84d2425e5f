"""The field network: messages between localizations, and what is around them, give classes and memberships."""
