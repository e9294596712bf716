"""What the advertiser wants and what may be spent: campaigns, flights, caps, materials, the money ledger.

Owns: Campaign, Flight, Targeting, Caps, Material, AdBook, Ledger. Never chooses an ad.
"""
