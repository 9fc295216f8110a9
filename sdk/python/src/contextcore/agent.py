"""Insights of agents: decisions, lessons, questions, handoffs."""

from contextcore_sdk.agent import Evidence, GuidanceReader, HandoffManager, Insight, InsightEmitter, InsightQuerier

__all__ = ["Evidence", "GuidanceReader", "HandoffManager", "Insight", "InsightEmitter", "InsightQuerier"]
