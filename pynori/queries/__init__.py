"""From a query's text to its answer: plan, match, order, project, include, stream."""
