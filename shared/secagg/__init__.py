"""Secure aggregation: the coordinator learns the sum of a cohort's vectors, and of no smaller part of it.

The protocol of Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine Learning", with its
rules against an active coordinator, on the sparse graph of neighbours of Bell et al. 2020, "Secure Single-Server
Aggregation with (Poly)Logarithmic Overhead". `words` has the messages in their order; `client.secagg.Member` and
`server.secagg.Aggregation` are the two state machines.
"""
