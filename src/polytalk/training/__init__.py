"""How does a network of one's own come about? Recipes, pools of clips, and the loop under every stage."""
