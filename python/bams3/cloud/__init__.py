"""What calling variants on AWS needs: planned, made, watched and removed under one name.

A deployment is its name. The names of all its resources follow from it, from the account and the
region, so nothing is kept anywhere, and each verb begins by looking at what is really there.
"""
